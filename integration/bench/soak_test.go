package main

import (
	"errors"
	"strings"
	"testing"
)

// steady is a soak whose memory stays.
func steady() *Soak {
	s := &Soak{Alerts: 20}
	for range soakSamples {
		s.Samples = append(s.Samples, SoakSample{Heap: 20 << 20, RSS: 100 << 20, RedisUsed: 5 << 20})
	}
	return s
}

func TestSoakFailsIfMemoryGrows(t *testing.T) {
	for what, grow := range map[string]func(*SoakSample, int64){
		"heap":         func(m *SoakSample, by int64) { m.Heap += by },
		"RSS":          func(m *SoakSample, by int64) { m.RSS += by },
		"Redis memory": func(m *SoakSample, by int64) { m.RedisUsed += by },
	} {
		s := steady()
		for i := range s.Samples {
			grow(&s.Samples[i], int64(2*i)<<20)
		}
		if err := s.verdict(); !errors.Is(err, errGrows) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s grows: %v", what, err)
		}
		early := steady()
		for i := range early.Samples[:soakSamples/4] {
			grow(&early.Samples[i], -5<<20) // caches fill
		}
		if err := early.verdict(); err != nil {
			t.Errorf("%s grows at first only: %v", what, err)
		}
	}
}

func TestSoakFailsIfAlertsAreNotAccepted(t *testing.T) {
	s := steady()
	s.Errors, s.Failure = 2, "503"
	if err := s.verdict(); err == nil || !strings.Contains(err.Error(), "2 alerts were not accepted: 503") {
		t.Errorf("verdict %v", err)
	}
	s = steady()
	s.Samples = s.Samples[:3]
	if err := s.verdict(); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Errorf("verdict of three samples: %v", err)
	}
}
