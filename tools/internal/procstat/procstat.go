// Package procstat reads /proc/PID/stat, which proc_pid_stat(5) describes.
package procstat

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Tick is the unit of the times in a Stat: USER_HZ, which Linux fixes at 100 a
// second in what user space sees.
const Tick = time.Second / 100

// Stat is the status of one process.
type Stat struct {
	text   []byte
	fields []string // from firstField on
}

// firstField is the number of the field behind the program's name.
const firstField = 3

// Read returns the status of the process that /proc shows under the given name,
// a process id or "self".
func Read(process string) (Stat, error) {
	text, err := os.ReadFile("/proc/" + process + "/stat")
	if err != nil {
		return Stat{}, fmt.Errorf("read process status: %w", err)
	}
	return Parse(text)
}

// Parse splits the content of a status file. The second field is the program's
// name in parentheses, which may hold spaces and parentheses itself; so fields
// count from the last one.
func Parse(text []byte) (Stat, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return Stat{}, fmt.Errorf("parse process status %q: no command name", text)
	}
	return Stat{text: text, fields: strings.Fields(string(text[end+1:]))}, nil
}

// Running reports whether the process has not ended. One that has ended, but that
// its parent has not waited for yet, does not run.
func Running(pid int) bool {
	stat, err := Read(strconv.Itoa(pid))
	return err == nil && len(stat.fields) > 0 && stat.fields[0] != "Z" && stat.fields[0] != "X"
}

// Parent returns the parent's process id.
func (s Stat) Parent() (int, error) {
	parent, err := s.Int(4)
	return int(parent), err
}

// Int returns a field of a number, counted as in proc_pid_stat(5). The least is
// 4, the parent's process id.
func (s Stat) Int(field int) (int64, error) {
	if i := field - firstField; i < 0 || i >= len(s.fields) {
		return 0, fmt.Errorf("parse process status %q: no field %d", s.text, field)
	}
	n, err := strconv.ParseInt(s.fields[field-firstField], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse process status %q: field %d: %w", s.text, field, err)
	}
	return n, nil
}

// Sum returns the sum of fields first to last, both included.
func (s Stat) Sum(first, last int) (int64, error) {
	var sum int64
	for field := first; field <= last; field++ {
		n, err := s.Int(field)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
