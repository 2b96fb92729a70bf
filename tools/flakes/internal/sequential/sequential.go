// Package sequential decides from runs, while they come in, whether something fails
// rarely: Wald's sequential probability ratio test (A. Wald, Sequential Tests of
// Statistical Hypotheses, 1945) and the exact bounds that its rates come from.
package sequential

import (
	"fmt"
	"math"
)

// Decision is what a Test says.
type Decision string

// The decisions.
const (
	// Open needs more runs.
	Open Decision = ""
	// Good means that the rate of failures is not Bad or above.
	Good Decision = "good"
	// Bad means that it is not Good or below.
	Bad Decision = "bad"
)

// Test tells two rates of failure apart, in as few runs as that takes.
//
// Each run multiplies the ratio of its probability at rate Bad to that at rate Good. The
// decision is Bad once the ratio is 1/Error, and Good once it is Error. These thresholds
// are a little farther out than Wald's own. So by Ville's inequality the probability of a wrong
// decision is at most Error, however long the test runs, for all rates at or beyond the two.
//
// With Good = 0 one failure decides, for certain. Passes decide after
// ln(Error) / ln(1 - Bad) of them.
type Test struct {
	// Good and Bad are rates of failure, 0 <= Good < Bad <= 1. What lies between may be
	// decided either way.
	Good, Bad float64
	// Error is the largest probability of a wrong decision, between 0 and 1.
	Error float64
}

// Validate says what is wrong with the rates.
func (t Test) Validate() error {
	if !(0 <= t.Good && t.Good < t.Bad && t.Bad <= 1) {
		return fmt.Errorf("tell rates of failure of %g and %g apart: the first has to be 0 or more and below the second, which can be at most 1", t.Good, t.Bad)
	}
	if !(0 < t.Error && t.Error < 1) {
		return fmt.Errorf("decide with an error of %g: it has to be between 0 and 1", t.Error)
	}
	return nil
}

// Decide says what so many failures and passes mean. A caller that adds several runs at
// once has to ask after each of them: the first decision counts.
func (t Test) Decide(failures, passes int) Decision {
	switch ratio := t.ratio(failures, passes); {
	case ratio >= -math.Log(t.Error):
		return Bad
	case ratio <= math.Log(t.Error):
		return Good
	}
	return Open
}

// ratio is the logarithm of the ratio of probabilities.
func (t Test) ratio(failures, passes int) float64 {
	ratio := 0.0
	if failures > 0 {
		ratio += float64(failures) * (math.Log(t.Bad) - math.Log(t.Good)) // infinite at Good = 0
	}
	if passes > 0 {
		ratio += float64(passes) * (math.Log1p(-t.Bad) - math.Log1p(-t.Good)) // infinite at Bad = 1
	}
	if math.IsNaN(ratio) {
		return math.Inf(1) // impossible at either rate: a failure at rate 0 weighs more
	}
	return ratio
}

// PassesLeft is how many passes in a row, after so many failures and passes, decide for
// Good: at least 1.
func (t Test) PassesLeft(failures, passes int) int {
	each := math.Log1p(-t.Good) - math.Log1p(-t.Bad)
	left := math.Ceil((t.ratio(failures, passes) - math.Log(t.Error)) / each)
	switch {
	case !(left >= 1):
		return 1
	case left > math.MaxInt32:
		return math.MaxInt32
	}
	for left > 1 && t.Decide(failures, passes+int(left)-1) == Good { // rounding
		left--
	}
	return int(left)
}

// LowerBound is the lower end of the one-sided interval, of this confidence, of a rate of
// failures of which k were seen in n runs (Clopper and Pearson, 1934). It is 0 without a
// failure.
//
// It is exact for a fixed number of runs and for a fixed number of failures, and also if
// whichever came first ended the runs: in all of these, "as many failures as early" is the
// event that n runs have k failures or more.
func LowerBound(k, n int, confidence float64) float64 {
	if k <= 0 || n <= 0 {
		return 0
	}
	low, high := 0.0, float64(k)/float64(n)
	for range 100 {
		middle := (low + high) / 2
		if atLeast(k, n, middle) < 1-confidence {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// atLeast is the probability of k or more failures in n runs.
func atLeast(k, n int, rate float64) float64 {
	switch {
	case rate <= 0:
		return 0
	case rate >= 1:
		return 1
	}
	// From k upwards, since what lies above the mean falls off.
	logOf := func(m int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(m + 1))
		c, _ := math.Lgamma(float64(n - m + 1))
		return a - b - c + float64(m)*math.Log(rate) + float64(n-m)*math.Log1p(-rate)
	}
	sum := 0.0
	for m := k; m <= n; m++ {
		sum += math.Exp(logOf(m))
	}
	return min(sum, 1)
}

// Percent writes a rate with two digits that count.
func Percent(share float64) string {
	percent := share * 100
	if percent >= 10 || percent <= 0 {
		return fmt.Sprintf("%.4g %%", percent)
	}
	digits := 1 - int(math.Floor(math.Log10(percent)))
	return fmt.Sprintf("%.*f %%", digits, percent)
}
