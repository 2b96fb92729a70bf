package controlplane

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/procstat"
)

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
	stat, err := procstat.Read(process)
	if err != nil {
		return api.Usage{}, err
	}
	return usageIn(stat)
}

// usageIn takes utime and stime, fields 14 and 15, and rss in pages, field 24.
func usageIn(stat procstat.Stat) (api.Usage, error) {
	ticks, err := stat.Sum(14, 15)
	if err != nil {
		return api.Usage{}, err
	}
	pages, err := stat.Int(24)
	if err != nil {
		return api.Usage{}, err
	}
	return api.Usage{
		CPUSeconds: float64(ticks) / float64(time.Second/procstat.Tick),
		RSSBytes:   pages * int64(os.Getpagesize()),
	}, nil
}
