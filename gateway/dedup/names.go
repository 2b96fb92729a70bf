package dedup

import (
	"strconv"
	"strings"
	"time"
)

// nameGrain is the grain of the time in objects' names. Replicas that both make an
// object of an incident, since Redis lost what one of them had reserved there,
// should try the same name, so that the API server refuses the second. They do
// unless the incident's grain ends between the two.
const nameGrain = 10 * time.Minute

// proposal returns the time that is to be in the name of an incident's next object:
// the beginning of the present grain. The grains of different fingerprints begin at
// different times, so that no moment is a bad one for all.
func proposal(fingerprint string, now time.Time) time.Time {
	grain := int64(nameGrain / time.Second)
	phase, _ := strconv.ParseInt(fingerprint[:min(8, len(fingerprint))], 16, 64)
	phase %= grain
	return time.Unix(now.Unix()-(now.Unix()-phase)%grain, 0)
}

// after returns the time if it is later than that in any of the names, which are
// taken, else the second that follows the latest.
func after(at time.Time, taken ...string) time.Time {
	for _, name := range taken {
		if last := timeOf(name); !last.Before(at) {
			at = last.Add(time.Second)
		}
	}
	return at
}

// timeOf returns the time in an object's name; 1970 if there is none.
func timeOf(name string) time.Time {
	seconds, _ := strconv.ParseInt(name[strings.LastIndexByte(name, '-')+1:], 10, 64)
	return time.Unix(seconds, 0)
}
