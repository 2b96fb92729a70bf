package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// SlowRequest is a notification whose sender has stopped in the middle of it.
type SlowRequest struct {
	body    *io.PipeWriter
	rest    []byte
	outcome chan slowOutcome
}

type slowOutcome struct {
	reply Reply
	err   error
}

// BeginPrometheus begins to send a notification with this alert, and returns when half
// of it is on its way. The request is cancelled when ctx ends.
func (g *GatewayClient) BeginPrometheus(ctx context.Context, alert Alert) *SlowRequest {
	ginkgo.GinkgoHelper()
	request, err := g.begin(ctx, alert)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return request
}

// Finish sends the rest and returns the answer. It is called once.
func (s *SlowRequest) Finish() Reply {
	ginkgo.GinkgoHelper()
	reply, err := s.finish()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return reply
}

func (g *GatewayClient) begin(ctx context.Context, alert Alert) (*SlowRequest, error) {
	payload, err := json.Marshal(notification([]Alert{alert}))
	if err != nil {
		return nil, err
	}
	// A body of unknown length goes out piece by piece, as it is written.
	reader, writer := io.Pipe()
	s := &SlowRequest{body: writer, rest: payload[len(payload)/2:], outcome: make(chan slowOutcome, 1)}
	go func() {
		reply, err := g.post(ctx, PrometheusRoute, reader)
		reader.CloseWithError(io.ErrClosedPipe) // no one reads any more
		s.outcome <- slowOutcome{reply, err}
	}()
	if _, err := io.Copy(writer, bytes.NewReader(payload[:len(payload)/2])); err != nil {
		return nil, (<-s.outcome).err
	}
	return s, nil
}

func (s *SlowRequest) finish() (Reply, error) {
	if _, err := s.body.Write(s.rest); err == nil {
		s.body.Close()
	}
	outcome := <-s.outcome
	return outcome.reply, outcome.err
}
