package suite

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceIsFromBeginningToBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		pace := NewPace(3 * time.Second)
		for i, work := range []time.Duration{time.Second, 0, 5 * time.Second, time.Second} {
			time.Sleep(work)
			pace.Wait(t.Context())
			if got, want := time.Since(start), []time.Duration{3, 6, 11, 14}[i]*time.Second; got != want {
				t.Errorf("step %d begins after %s, want %s", i+1, got, want)
			}
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		Silence(t.Context(), time.Minute)
		if got := time.Since(start); got != time.Minute {
			t.Errorf("it lasted %s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if sleepUntil(ctx, start.Add(time.Hour)) {
			t.Error("it did not end with the spec")
		}
	})
}
