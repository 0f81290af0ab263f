package identity

import "syscall"

// niceness leaves a hash about a tenth of a processor that others want whole, so that logins go on, slowly, however busy a node is.
const niceness = 10

// giveWay lets every other thread of the machine go before the calling one. Where that is refused, it goes on as it is.
func giveWay() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness) }
