package controlplane

import (
	"os"
	"runtime/debug"
	"time"
)

// BootGC in the environment of a Go program spends memory for time: its heap may
// grow to five times what lives before the collector runs.
const BootGC = "GOGC=400"

const (
	usualGCPercent = 100 // Go's default
	bootGCWindow   = 15 * time.Second
)

// EndBootGC ends what BootGC began, once the cluster is up: the collector goes
// back to Go's default and gives the rest back to the system. It does nothing in
// a process that was started with another setting.
func EndBootGC() {
	if "GOGC="+os.Getenv("GOGC") != BootGC {
		return
	}
	time.AfterFunc(bootGCWindow, func() {
		debug.SetGCPercent(usualGCPercent)
		debug.FreeOSMemory()
	})
}
