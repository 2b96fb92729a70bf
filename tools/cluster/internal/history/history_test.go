package history

import (
	"math"
	"slices"
	"sync"
	"testing"
)

// Promise: a reader gets what follows the last one it knows, and sees when it came too late for some.
func TestAfter(t *testing.T) {
	for _, test := range []struct {
		added       int
		after       uint64
		want        []uint64
		first, last uint64
	}{
		{0, 0, nil, 1, 0},
		{0, 9, nil, 1, 0},
		{2, 0, []uint64{1, 2}, 1, 2},
		{3, 2, []uint64{3}, 1, 3},
		{3, 3, nil, 1, 3},
		{4, 0, []uint64{2, 3, 4}, 2, 4},
		{7, 5, []uint64{6, 7}, 5, 7},
		{7, 70, nil, 5, 7},
		{7, math.MaxUint64, nil, 5, 7},
	} {
		log := New[uint64](3)
		for range test.added {
			log.Add(func(seq uint64) uint64 { return seq })
		}
		got, first, last := log.After(test.after)
		if !slices.Equal(got, test.want) || first != test.first || last != test.last {
			t.Errorf("%d added, after %d: %v, %d, %d; want %v, %d, %d", test.added, test.after, got, first, last, test.want, test.first, test.last)
		}
	}
}

// Promise: numbers have no gaps, whoever adds.
func TestConcurrentUse(t *testing.T) {
	log := New[uint64](1000)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				log.Add(func(seq uint64) uint64 { return seq })
				log.After(0)
			}
		})
	}
	all.Wait()
	got, _, last := log.After(0)
	if len(got) != 800 || last != 800 || !slices.IsSorted(got) {
		t.Errorf("%d entries up to %d", len(got), last)
	}
}
