//go:build !linux

package identity

// giveWay does nothing where a thread has no priority of its own.
func giveWay() {}
