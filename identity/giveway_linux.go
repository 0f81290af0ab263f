package identity

import "syscall"

// niceness leaves a hash about a seventieth of a processor that others want whole: two seconds for one, so that logins go on, slowly,
// however busy a node is. At 10, which leaves a tenth, a flood of logins could still be seen in what else is answered.
const niceness = 19

// giveWay lets every other thread of the machine go before the calling one. Where that is refused, it goes on as it is.
func giveWay() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness) }
