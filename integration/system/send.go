package system

import (
	"context"
	"sync"
	"time"

	"stormgate.internal/integration/testbed"
)

// Send sends one alert once to a replica, notes it in the ledger and returns the
// answer. It must get one.
func (s *System) Send(replica int, alert testbed.Alert) testbed.Answer {
	s.t.Helper()
	answer, err := s.try(s.t.Context(), replica, alert)
	if err != nil {
		s.t.Errorf("send %s of %s: %v", alert.Name, alert.ResourceID(), err)
	}
	return answer
}

func (s *System) try(ctx context.Context, replica int, alert testbed.Alert) (testbed.Answer, error) {
	s.Ledger.Sent(alert)
	answers, err := s.Client.Send(ctx, s.Gateways[replica].URL(), alert)
	if err != nil {
		return testbed.Answer{}, err
	}
	s.Ledger.Answered(alert, answers[0].Code)
	return answers[0], nil
}

// AtOnce sends the alerts at the same time, in turns to all replicas, once each,
// and returns the answers in the alerts' order.
func (s *System) AtOnce(alerts ...testbed.Alert) []testbed.Answer {
	s.t.Helper()
	answers := make([]testbed.Answer, len(alerts))
	begin := make(chan struct{})
	var sending sync.WaitGroup
	for i, alert := range alerts {
		sending.Go(func() {
			<-begin
			answers[i] = s.Send(i%len(s.Gateways), alert)
		})
	}
	close(begin)
	sending.Wait()
	return answers
}

// Waits between AlertManager's tries, which double, scaled down like all times here.
const (
	firstWait = 20 * time.Millisecond
	lastWait  = 500 * time.Millisecond
	// tryLimit is how long one try may take.
	tryLimit = 15 * time.Second
)

// Deliver sends one alert as AlertManager does: again, to whichever replica
// the service leads to, until it is accepted. It gives up, and fails the test,
// when the gateway refuses the alert as such or the context ends.
func (s *System) Deliver(ctx context.Context, alert testbed.Alert) {
	s.t.Helper()
	first := int(alert.Fingerprint()[0])
	s.deliver(ctx, alert, func(try int) int { return (first + try) % len(s.Gateways) })
}

// DeliverTo is Deliver to one replica.
func (s *System) DeliverTo(ctx context.Context, replica int, alert testbed.Alert) {
	s.t.Helper()
	s.deliver(ctx, alert, func(int) int { return replica })
}

func (s *System) deliver(ctx context.Context, alert testbed.Alert, replica func(try int) int) {
	s.t.Helper()
	wait := firstWait
	for try := 0; ; try++ {
		tryCtx, cancel := context.WithTimeout(ctx, tryLimit)
		answer, err := s.try(tryCtx, replica(try), alert)
		cancel()
		switch {
		case err == nil && answer.Accepted():
			return
		case err == nil && answer.Code < 500 && answer.Code != 429:
			s.t.Errorf("%s of %s is refused: %d %s", alert.Name, alert.ResourceID(), answer.Code, answer.Detail)
			return
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, lastWait)
		case <-ctx.Done():
			s.t.Errorf("%s of %s is not accepted: last answer %d %s, %v", alert.Name, alert.ResourceID(), answer.Code, answer.Detail, err)
			return
		}
	}
}

// DeliverAll delivers the alerts. That many senders work at the same time.
func (s *System) DeliverAll(ctx context.Context, senders int, alerts []testbed.Alert) {
	s.t.Helper()
	queue := make(chan testbed.Alert)
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for alert := range queue {
				s.Deliver(ctx, alert)
			}
		})
	}
	for _, alert := range alerts {
		queue <- alert
	}
	close(queue)
	sending.Wait()
}

// Codes counts answers by status.
func Codes(answers []testbed.Answer) map[int]int {
	codes := make(map[int]int)
	for _, answer := range answers {
		codes[answer.Code]++
	}
	return codes
}
