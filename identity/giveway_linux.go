package identity

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// politeNiceness leaves a thread about a seventieth of a processor that others want whole.
const politeNiceness = 19

// giveWay lets every other thread of the machine go before those of this process: they get next to nothing of a processor that others
// want whole (SCHED_IDLE, sched(7)), or, where that is refused, little. It is for all threads because nobody chooses on which of them a
// goroutine runs. Threads that come later have what those have that start them.
func giveWay() {
	idle := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
	asked := map[int]bool{}
	for more := true; more; {
		more = false
		threads, _ := os.ReadDir("/proc/self/task") // without it this process goes on as it is
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil || asked[id] {
				continue
			}
			asked[id], more = true, true
			if unix.SchedSetAttr(id, &idle, 0) != nil {
				_ = unix.Setpriority(unix.PRIO_PROCESS, id, politeNiceness)
			}
		}
	}
}
