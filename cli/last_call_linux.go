package cli

import (
	"net"

	"golang.org/x/sys/unix"
)

// turnAway makes the kernel ignore new handshakes on the socket, while those under way are completed: a filter drops
// the segments that have SYN set, which is 2 in byte 13 of the TCP header. The client sends it again after a second,
// and then finds the port closed, or somebody else there. Should it fail, a few clients may see a reset.
func turnAway(l *net.TCPListener) {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: 2, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	raw, err := l.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program) // as said above
	})
}
