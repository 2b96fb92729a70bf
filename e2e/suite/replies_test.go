package suite

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega/types"
)

func TestProblemMatcher(t *testing.T) {
	problem := func(change func(*Reply)) Reply {
		return changed(Reply{Code: 400, Problem: &Problem{
			Type: "https://kubernaut.io/errors/validation-error", Title: "Bad Request", Detail: "d", Status: 400, Instance: PrometheusRoute,
		}}, change)
	}
	var is types.GomegaMatcher = BeProblem(400, "Bad Request")
	for _, c := range []struct {
		name  string
		reply Reply
		want  bool
	}{
		{"right", problem(func(*Reply) {}), true},
		{"another code", problem(func(r *Reply) { r.Code = 500 }), false},
		{"another title", problem(func(r *Reply) { r.Problem.Title = "Error" }), false},
		{"another type", problem(func(r *Reply) { r.Problem.Type = "about:blank" }), false},
		{"elsewhere", problem(func(r *Reply) { r.Problem.Instance = "/" }), false},
		{"no problem", Reply{Code: 400}, false},
	} {
		if got, err := is.Match(c.reply); err != nil || got != c.want {
			t.Errorf("%s: matches %t, %v; want %t", c.name, got, err, c.want)
		}
	}
}

func TestRepliesWith(t *testing.T) {
	replies := []Reply{{Code: 201}, {Code: 202}, {Code: 202, Status: "x"}}
	if got := RepliesWith(replies, 202); len(got) != 2 || got[1].Status != "x" {
		t.Errorf("%+v", got)
	}
	if len(replies) != 3 || replies[1].Code != 202 {
		t.Errorf("the answers were changed: %+v", replies)
	}
	if got := codes(replies); got[201] != 1 || got[202] != 2 {
		t.Errorf("codes %v", got)
	}
}

// echoing answers each notification as a duplicate with the pod as status, and
// counts them.
func echoing(t *testing.T, got chan<- string) *GatewayClient {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body webhook
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
			return
		}
		pod := body.Alerts[0].Labels["pod"]
		got <- pod
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"`+pod+`","message":"","fingerprint":"f","duplicate":false}`)
	}))
	t.Cleanup(server.Close)
	return newGatewayClient(server.URL)
}

func TestSendAtOnceDividesAndKeepsTheOrder(t *testing.T) {
	first, second := make(chan string, 9), make(chan string, 9)
	alerts := sample.OnPods(1, 5)
	replies, err := sendAtOnce(context.Background(), []*GatewayClient{echoing(t, first), echoing(t, second)}, alerts)
	if err != nil {
		t.Fatal(err)
	}
	for i, reply := range replies {
		if reply.Status != alerts[i].Pod {
			t.Errorf("answer %d is that of %s", i, reply.Status)
		}
	}
	if len(first) != 3 || len(second) != 2 {
		t.Errorf("%d and %d notifications", len(first), len(second))
	}
}

// All are under way before any has its answer.
func TestSendAtOnceIsAtOnce(t *testing.T) {
	const senders = 10
	var arrived sync.WaitGroup
	arrived.Add(senders)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		arrived.Wait()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, duplicate)
	}))
	defer server.Close()
	replies, err := sendAtOnce(t.Context(), []*GatewayClient{newGatewayClient(server.URL)}, Repeat(sample, senders))
	if err != nil || len(replies) != senders {
		t.Errorf("%d answers, %v", len(replies), err)
	}
}

func TestSendAtOnceTellsOfEachFailure(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	_, err := sendAtOnce(t.Context(), []*GatewayClient{newGatewayClient(server.URL)}, Repeat(sample, 2))
	if err == nil || strings.Count(err.Error(), "POST") < 2 {
		t.Errorf("error %v", err)
	}
}

func TestSlowRequest(t *testing.T) {
	arrived := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		some := make([]byte, 8)
		n, _ := io.ReadFull(r.Body, some)
		arrived <- n
		rest, err := io.ReadAll(r.Body)
		var got webhook
		if err := json.Unmarshal(slices.Concat(some, rest), &got); err != nil || got.Alerts[0].Labels["pod"] != sample.Pod {
			t.Errorf("body %s%s: %v", some, rest, err)
		}
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, duplicate)
	}))
	defer server.Close()
	request, err := newGatewayClient(server.URL).begin(t.Context(), sample)
	if err != nil {
		t.Fatal(err)
	}
	if n := <-arrived; n != 8 {
		t.Errorf("%d bytes arrived before the end was sent", n)
	}
	if reply, err := request.finish(); err != nil || reply.Metadata.Count != 2 {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

func TestSlowRequestToNobody(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := newGatewayClient(server.URL).begin(t.Context(), sample); err == nil {
		t.Error("no error from a server that is gone")
	}
}
