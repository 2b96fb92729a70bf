package ginkgo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"stormgate.internal/tools/runfiles"
)

// timings is how long specs took when they were measured, by full text.
type timings map[string]time.Duration

// longestTiming bounds what a timings file can claim, in seconds, so that sums
// of weights can't overflow.
const longestTiming = 24 * 60 * 60

// readTimings reads the file that the test target declares. Without a path there are
// no timings. All shards read the same file, since it is an input of the test.
func readTimings(path string) (timings, error) {
	if path == "" {
		return nil, nil
	}
	file, err := runfiles.File(path)
	if err != nil {
		return nil, fmt.Errorf("read timings %s: %w", path, err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read timings: %w", err)
	}
	t, err := parseTimings(content)
	if err != nil {
		return nil, fmt.Errorf("read timings %s: %w", filepath.Base(path), err)
	}
	return t, nil
}

// parseTimings reads one JSON object: a spec's full text -> seconds.
func parseTimings(content []byte) (timings, error) {
	var inSeconds map[string]float64
	if err := json.Unmarshal(content, &inSeconds); err != nil {
		return nil, err
	}
	if inSeconds == nil {
		return nil, errors.New("it has no JSON object")
	}
	t := timings{}
	for text, seconds := range inSeconds {
		if seconds < 0 || seconds > longestTiming {
			return nil, fmt.Errorf("%q: %v s is not between 0 and %d", text, seconds, longestTiming)
		}
		// A spec that takes no time is one nevertheless.
		t[text] = max(time.Duration(seconds*float64(time.Second)).Round(time.Millisecond), time.Millisecond)
	}
	return t, nil
}

// mean is the weight of a spec that was not measured, in milliseconds: the mean of
// those specs of the tree that were measured, or 1 if none was.
func (t timings) mean(specs []spec) int {
	sum, n := 0, 0
	for _, s := range specs {
		if took, found := t[s.Text]; found && !s.Pending {
			sum += int(took.Milliseconds())
			n++
		}
	}
	if n == 0 {
		return 1
	}
	return max(sum/n, 1)
}
