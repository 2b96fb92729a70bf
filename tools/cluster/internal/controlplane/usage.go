package controlplane

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Usage is what a process has used up to now.
type Usage struct {
	// CPUSeconds is user plus system time of all its threads.
	CPUSeconds float64 `json:"cpuSeconds"`
	// RSSBytes is resident memory, pages of the shared binary included.
	RSSBytes int64 `json:"rssBytes"`
}

// clockTicks is USER_HZ, which Linux fixes at 100 for what it tells user space.
const clockTicks = 100

// Usage reads the component's consumption. It fails before Start and after the end.
func (c *Component) Usage() (Usage, error) {
	pid := c.Pid()
	if pid == 0 {
		return Usage{}, fmt.Errorf("read usage of %s: it was not started", c.Name)
	}
	usage, err := UsageOf(strconv.Itoa(pid))
	if err != nil {
		return Usage{}, fmt.Errorf("read usage of %s: %w", c.Name, err)
	}
	return usage, nil
}

// UsageOf reads the consumption of the process that /proc shows under the given
// name, a process id or "self".
func UsageOf(process string) (Usage, error) {
	stat, err := os.ReadFile("/proc/" + process + "/stat")
	if err != nil {
		return Usage{}, err
	}
	return parseStat(stat)
}

// parseStat reads /proc/PID/stat. The second field is the command's name in
// parentheses and may hold spaces and parentheses itself, so fields count from
// the last one: utime and stime are fields 14 and 15, rss (in pages) is 24.
func parseStat(stat []byte) (Usage, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return Usage{}, fmt.Errorf("parse process status %q: no command name", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 22 {
		return Usage{}, fmt.Errorf("parse process status %q: too few fields", stat)
	}
	var numbers [3]int64
	for i, field := range []string{fields[11], fields[12], fields[21]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("parse process status %q: %w", stat, err)
		}
		numbers[i] = n
	}
	return Usage{
		CPUSeconds: float64(numbers[0]+numbers[1]) / clockTicks,
		RSSBytes:   numbers[2] * int64(os.Getpagesize()),
	}, nil
}
