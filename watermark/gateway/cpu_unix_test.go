//go:build unix

package gateway

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used, which other load on the machine does not
// stretch as it stretches the clock.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
