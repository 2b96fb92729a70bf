package metrics

import (
	"sync"
	"time"
)

// A label has at most maxLabelValues values that senders choose. All later ones are
// counted as otherValue.
const (
	maxLabelValues = 1000
	otherValue     = "other"
)

// boundedLabel limits the values of a label that senders choose.
type boundedLabel struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

// admit returns the value itself, or "other" once there are too many.
func (b *boundedLabel) admit(value string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.seen[value]; ok {
		return value
	}
	if len(b.seen) >= maxLabelValues {
		return otherValue
	}
	if b.seen == nil {
		b.seen = make(map[string]struct{})
	}
	b.seen[value] = struct{}{}
	return value
}

// forget makes room for another value. It reports whether the value was admitted.
func (b *boundedLabel) forget(value string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.seen[value]
	delete(b.seen, value)
	return ok
}

// empty reports whether no value is admitted.
func (b *boundedLabel) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen) == 0
}

const (
	rateSlots    = 5
	rateSlotSpan = time.Minute
)

// deduplicationRate is the share of duplicates over the last five minutes. The
// zero value is ready for use.
type deduplicationRate struct {
	mu    sync.Mutex
	slots [rateSlots]rateSlot
}

type rateSlot struct {
	minute            int64
	signals, repeated float64
}

func (r *deduplicationRate) add(repeated bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	minute := time.Now().Unix() / int64(rateSlotSpan.Seconds())
	slot := &r.slots[minute%rateSlots]
	if slot.minute != minute {
		*slot = rateSlot{minute: minute}
	}
	slot.signals++
	if repeated {
		slot.repeated++
	}
}

// value returns the share, 0 when there were no signals.
func (r *deduplicationRate) value() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := time.Now().Unix()/int64(rateSlotSpan.Seconds()) - rateSlots
	var total rateSlot
	for _, slot := range r.slots {
		if slot.minute > oldest {
			total.signals += slot.signals
			total.repeated += slot.repeated
		}
	}
	if total.signals == 0 {
		return 0
	}
	return total.repeated / total.signals
}
