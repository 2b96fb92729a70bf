package dedup

import (
	"fmt"
	"testing"

	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/signal"
)

// BenchmarkCheck measures decisions against a real Redis and a cluster that costs
// nothing, with a thousand objects in progress.
func BenchmarkCheck(b *testing.B) {
	prepare := func(b *testing.B) (*Deduplicator, *store) {
		s := newStore()
		d := newDeduplicator(b, s, connect(b, redistest.Start(b)))
		for n := range 1000 {
			s.create(testSignal(fmt.Sprint("there", n)), fmt.Sprint("o-", n))
		}
		mustCare(b, d)
		b.ReportAllocs()
		b.ResetTimer()
		return d, s
	}
	b.Run("new", func(b *testing.B) {
		d, s := prepare(b)
		object := newObject(testSignal("A"), "o-1")
		n := 0
		for b.Loop() {
			n++
			sig := testSignal("A")
			sig.Fingerprint = signal.Fingerprint("A", "shop", "Pod", fmt.Sprint(n))
			mustClaim(b, d, sig).Created(b.Context(), object)
		}
		if s.finds != 0 {
			b.Errorf("%d searches", s.finds)
		}
	})
	b.Run("duplicate", func(b *testing.B) {
		d, _ := prepare(b)
		n := 0
		for b.Loop() {
			n++
			if v, err := d.Check(b.Context(), testSignal(fmt.Sprint("there", n%1000))); err != nil || v.Duplicate == nil {
				b.Fatal(v, err)
			}
		}
	})
	b.Run("hot", func(b *testing.B) {
		d, s := prepare(b)
		sig := testSignal("there0")
		b.SetParallelism(32) // senders a core
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if v, err := d.Check(b.Context(), sig); err != nil || v.Duplicate == nil {
					b.Error(v, err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/float64(max(1, s.updates)), "signals/update")
	})
}
