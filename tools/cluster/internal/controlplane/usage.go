package controlplane

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"stormgate.internal/tools/cluster/api"
)

// clockTicks is USER_HZ, which Linux fixes at 100 in what user space sees.
const clockTicks = 100

// Usage reads the component's consumption. It fails before Start and after the end.
func (c *Component) Usage() (api.Usage, error) {
	pid := c.Pid()
	if pid == 0 {
		return api.Usage{}, fmt.Errorf("read usage of %s: it was not started", c.Name)
	}
	usage, err := UsageOf(strconv.Itoa(pid))
	if err != nil {
		return api.Usage{}, fmt.Errorf("read usage of %s: %w", c.Name, err)
	}
	return usage, nil
}

// UsageOf reads the consumption of the process that /proc shows under the given
// name, a process id or "self".
func UsageOf(process string) (api.Usage, error) {
	stat, err := os.ReadFile("/proc/" + process + "/stat")
	if err != nil {
		return api.Usage{}, err
	}
	return parseStat(stat)
}

// parseStat reads /proc/PID/stat. The second field is the command's name in
// parentheses and may hold spaces and parentheses itself, so fields count from
// the last one: utime and stime are fields 14 and 15, rss (in pages) is 24.
func parseStat(stat []byte) (api.Usage, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return api.Usage{}, fmt.Errorf("parse process status %q: no command name", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 22 {
		return api.Usage{}, fmt.Errorf("parse process status %q: too few fields", stat)
	}
	var numbers [3]int64
	for i, field := range []string{fields[11], fields[12], fields[21]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return api.Usage{}, fmt.Errorf("parse process status %q: %w", stat, err)
		}
		numbers[i] = n
	}
	return api.Usage{
		CPUSeconds: float64(numbers[0]+numbers[1]) / clockTicks,
		RSSBytes:   numbers[2] * int64(os.Getpagesize()),
	}, nil
}
