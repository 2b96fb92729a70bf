package dedup

import (
	"strconv"
	"strings"
	"time"
)

// nameGrain is the grain of the time in objects' names. Two replicas may both make an
// object of an incident, if Redis has lost the reservation of the first. They should
// try the same name, so that the API server refuses the second. They do unless a grain
// ends between the two.
const nameGrain = 10 * time.Minute

// proposal returns the time for the name of an incident's next object: the beginning
// of the present grain. The grains of different fingerprints begin at different times,
// so that no moment is the end of all.
func proposal(fingerprint string, now time.Time) time.Time {
	grain := int64(nameGrain / time.Second)
	phase, _ := strconv.ParseInt(fingerprint[:min(8, len(fingerprint))], 16, 64)
	phase %= grain
	return time.Unix(now.Unix()-(now.Unix()-phase)%grain, 0)
}

// after returns the time if it is later than that in each of the names, which are
// taken. Otherwise it returns the second that follows the latest of them.
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
