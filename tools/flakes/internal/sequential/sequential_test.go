package sequential

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Promise: without failures at the good rate, one failure is bad for certain, and
// ln(error) / ln(1 - bad) passes are good: 59 for 5 % at 5 %, 299 for 1 % (the sample
// sizes of discovery sampling).
func TestDecideWithoutBackground(t *testing.T) {
	for _, test := range []struct {
		bad, err float64
		passes   int
	}{{0.05, 0.05, 59}, {0.01, 0.05, 299}, {0.05, 0.01, 90}, {0.5, 0.01, 7}, {1, 0.01, 1}} {
		s := Test{Bad: test.bad, Error: test.err}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := s.PassesLeft(0, 0); got != test.passes {
			t.Errorf("%+v: %d passes, want %d", s, got, test.passes)
		}
		if s.Decide(0, test.passes) != Good || s.Decide(0, test.passes-1) != Open {
			t.Errorf("%+v: after %d passes %q, one before %q", s, test.passes, s.Decide(0, test.passes), s.Decide(0, test.passes-1))
		}
		if s.Decide(1, 0) != Bad || s.Decide(1, 1000) != Bad {
			t.Errorf("%+v: a failure is %q, after 1000 passes %q", s, s.Decide(1, 0), s.Decide(1, 1000))
		}
	}
}

// Promise: PassesLeft is the smallest number that decides.
func TestPassesLeft(t *testing.T) {
	for _, s := range []Test{{0.001, 0.05, 0.01}, {0.01, 0.02, 0.2}, {0, 0.3, 0.001}} {
		for failures := range 3 {
			for passes := 0; passes < 200; passes += 7 {
				if s.Good == 0 && failures > 0 || s.Decide(failures, passes) != Open {
					continue
				}
				n := s.PassesLeft(failures, passes)
				if s.Decide(failures, passes+n) != Good || n > 1 && s.Decide(failures, passes+n-1) == Good {
					t.Fatalf("%+v after %d failures and %d passes: %d", s, failures, passes, n)
				}
			}
		}
	}
}

// Promise: the rate of wrong decisions is at most the stated one, at the two rates and
// beyond them, also where failures are there in both.
func TestDecideErrs(t *testing.T) {
	const trials = 4000
	for _, s := range []Test{{0, 0.1, 0.05}, {0.02, 0.1, 0.05}, {0.05, 0.15, 0.1}} {
		for _, truth := range []struct {
			rate  float64
			wrong Decision
		}{{s.Good, Bad}, {s.Good / 2, Bad}, {s.Bad, Good}, {min(1, s.Bad*1.5), Good}} {
			random := rand.New(rand.NewPCG(1, uint64(truth.rate*1e6)))
			wrong := 0
			for range trials {
				failures, passes := 0, 0
				for s.Decide(failures, passes) == Open {
					if random.Float64() < truth.rate {
						failures++
					} else {
						passes++
					}
				}
				if s.Decide(failures, passes) == truth.wrong {
					wrong++
				}
			}
			// Three standard deviations of the count above what is stated.
			most := s.Error*trials + 3*math.Sqrt(s.Error*(1-s.Error)*trials)
			if float64(wrong) > most {
				t.Errorf("%+v at rate %g: %d of %d decisions wrong, at most %.0f can be", s, truth.rate, wrong, trials, most)
			}
		}
	}
}

// Promise: the bound is Clopper's and Pearson's (values of their table, one-sided 95 %, and
// closed forms), and exact: the rate at which so many failures have the rest's probability.
func TestLowerBound(t *testing.T) {
	for _, test := range []struct {
		k, n       int
		confidence float64
		want       float64
	}{
		{0, 50, 0.95, 0}, {3, 0, 0.95, 0},
		{1, 1, 0.95, 0.05}, {1, 10, 0.95, 1 - math.Pow(0.95, 0.1)}, {10, 10, 0.95, math.Pow(0.05, 0.1)},
		{2, 10, 0.95, 0.0368}, {5, 20, 0.95, 0.1041}, {5, 10, 0.975, 0.1871},
	} {
		if got := LowerBound(test.k, test.n, test.confidence); math.Abs(got-test.want) > 0.0001 {
			t.Errorf("%d of %d at %g: %.5f, want %.5f", test.k, test.n, test.confidence, got, test.want)
		}
	}
}

// Promise: the bound lies above the true rate as rarely as stated, also where runs end with
// the tenth failure or with the hundredth run.
func TestLowerBoundErrs(t *testing.T) {
	const trials, rate, confidence = 4000, 0.08, 0.95
	random := rand.New(rand.NewPCG(2, 2))
	wrong := 0
	for range trials {
		k, n := 0, 0
		for ; k < 10 && n < 100; n++ {
			if random.Float64() < rate {
				k++
			}
		}
		if LowerBound(k, n, confidence) > rate {
			wrong++
		}
	}
	if most := (1-confidence)*trials + 3*math.Sqrt(confidence*(1-confidence)*trials); float64(wrong) > most {
		t.Errorf("%d of %d bounds above the rate, at most %.0f can be", wrong, trials, most)
	}
}

// Promise: rates that can't be told apart are refused.
func TestValidate(t *testing.T) {
	for _, s := range []Test{{0.1, 0.1, 0.05}, {-0.1, 0.1, 0.05}, {0, 1.1, 0.05}, {0, 0.1, 0}, {0, 0.1, 1}, {0, math.NaN(), 0.05}} {
		if s.Validate() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}

// Promise: a rate is written with two digits that count.
func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 0.05: "5.0 %", 0.123: "12.3 %", 0.00571: "0.57 %", 1: "100 %", 0.0000123: "0.0012 %"} {
		if got := Percent(share); got != want {
			t.Errorf("%g: %s, want %s", share, got, want)
		}
	}
}
