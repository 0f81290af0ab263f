//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// replyWithin ends a connection on which nothing comes.
const replyWithin = 20 * time.Second

// connection is one kept-alive HTTP/1.1 connection on a blocking socket, used by a thread of its own. The runtime's poller rounds
// waits up to a millisecond, which is more than most replies take; the kernel's sleep does not.
type connection struct {
	fd     int
	reader *bufio.Reader
}

// dial must be called by the goroutine that uses the connection, which is bound to its thread from here on.
func dial(address string) (*connection, error) {
	runtime.LockOSThread() // never undone: the thread ends with its goroutine
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("timer slack: %w", err)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	c := &connection{fd: fd}
	c.reader = bufio.NewReaderSize(c, 64<<10)
	limit := unix.NsecToTimeval(replyWithin.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}),
	)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return c, nil
}

func (c *connection) close() { _ = unix.Close(c.fd) } // nothing is lost with it

// Read implements io.Reader.
func (c *connection) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(c.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (c *connection) write(p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(c.fd, p)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		p = p[max(n, 0):]
	}
	return nil
}

// reply is what came back.
type reply struct {
	status int
	body   []byte
}

// do sends one request and reads the whole reply into r, whose body it may reuse.
func (c *connection) do(request []byte, r *reply) error {
	if err := c.write(request); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	defer response.Body.Close()
	r.status = response.StatusCode
	r.body = r.body[:0]
	for {
		if len(r.body) == cap(r.body) {
			r.body = append(r.body, 0)[:len(r.body)]
		}
		n, err := response.Body.Read(r.body[len(r.body):cap(r.body)])
		r.body = r.body[:len(r.body)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reply: %w", err)
		}
	}
}

// sleepUntil waits in the kernel.
func sleepUntil(at time.Time) {
	for {
		left := time.Until(at)
		if left <= 0 {
			return
		}
		wait := unix.NsecToTimespec(left.Nanoseconds())
		_ = unix.Nanosleep(&wait, nil) // a signal may end it early: what is left is slept again
	}
}
