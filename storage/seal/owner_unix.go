//go:build unix

package seal

import (
	"io/fs"
	"os"
	"syscall"
)

// ours says that a file belongs to the user that this process runs as.
func ours(file fs.FileInfo) bool {
	stat, ok := file.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) == os.Geteuid()
}
