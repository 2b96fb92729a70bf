package remediation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
	"stormgate.internal/gateway/signal"
)

var (
	received  = time.Date(2025, 11, 24, 10, 0, 0, 0, time.UTC)
	placement = Placement{Fallback: "fallback"}
)

func testSignal(namespace string) *signal.Signal {
	return &signal.Signal{
		Type: "prometheus-alert", Source: "prometheus", Name: "HighMemoryUsage", Severity: "critical", Namespace: namespace,
		Resource:   signal.Resource{Kind: "Pod", Name: "web", Namespace: namespace},
		Labels:     map[string]string{"alertname": "HighMemoryUsage", "long": strings.Repeat("ä", 40)},
		FiringTime: received.Add(-time.Minute), ReceivedTime: received, Annotations: map[string]string{"long": strings.Repeat("ä", 131_001)},
		Fingerprint: signal.Fingerprint("HighMemoryUsage", namespace, "Pod", "web"), Payload: []byte(`{"as":"sent"}`),
	}
}

func testDraft(namespace string) Draft {
	s := testSignal(namespace)
	return Draft{Signal: s, Environment: "production", Priority: "P0", Name: Name(s.Fingerprint, received)}
}

func TestObject(t *testing.T) {
	d := testDraft("shop")
	got, err := build(d, received)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := d.Signal.Fingerprint
	at := metav1.NewTime(received)
	want := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("rr-%s-%d", fingerprint[:12], received.Unix()),
			Labels: map[string]string{
				"app.kubernetes.io/managed-by": "gateway-service", "app.kubernetes.io/component": "remediation",
				"kubernaut.io/signal-type": "prometheus-alert", "kubernaut.io/severity": "critical",
				"kubernaut.io/environment": "production", "kubernaut.io/priority": "P0", "kubernaut.io/signal-fingerprint": fingerprint[:63],
			},
			Annotations: map[string]string{"kubernaut.io/created-at": "2025-11-24T10:00:00Z"},
		},
		Spec: v1alpha1.RemediationRequestSpec{
			SignalFingerprint: fingerprint, SignalName: "HighMemoryUsage", Severity: "critical", Environment: "production", Priority: "P0",
			SignalType: "prometheus-alert", SignalSource: "prometheus", TargetType: "kubernetes",
			FiringTime: metav1.NewTime(received.Add(-time.Minute)), ReceivedTime: at,
			Deduplication: v1alpha1.DeduplicationInfo{FirstSeen: at, LastSeen: at, OccurrenceCount: 1},
			// Two bytes a character, and an odd limit.
			SignalLabels:      map[string]string{"alertname": "HighMemoryUsage", "long": strings.Repeat("ä", 31)},
			SignalAnnotations: map[string]string{"long": strings.Repeat("ä", 131_000)},
			OriginalPayload:   []byte(`{"as":"sent"}`),
		},
	}
	var provider map[string]any
	if err := json.Unmarshal(got.Spec.ProviderData, &provider); err != nil {
		t.Fatal(err)
	}
	wantProvider := map[string]any{
		"namespace": "shop", "resource": map[string]any{"kind": "Pod", "name": "web", "namespace": "shop"},
		"labels": map[string]any{"alertname": "HighMemoryUsage", "long": strings.Repeat("ä", 40)},
	}
	if diff := cmp.Diff(wantProvider, provider); diff != "" {
		t.Errorf("provider data (-want +got):\n%s", diff)
	}
	got.Spec.ProviderData = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

func TestZeroFiringTimeBecomesReceivedTime(t *testing.T) {
	d := testDraft("shop")
	d.Signal.FiringTime = time.Time{}
	got, err := build(d, received)
	if err != nil || !got.Spec.FiringTime.Time.Equal(received) {
		t.Errorf("firing time %s, %v", got.Spec.FiringTime, err)
	}
}

func TestLabelValue(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "shop": "shop", "A.b_c-1": "A.b_c-1", "-shop-": "shop", "a/b c": "a-b-c", "ä": "", "xäy": "x-y",
		strings.Repeat("a", 70): strings.Repeat("a", 63), strings.Repeat("a", 62) + "/" + "b": strings.Repeat("a", 62),
	} {
		if got := labelValue(text); got != want {
			t.Errorf("labelValue(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzLabelValue(f *testing.F) {
	for _, seed := range []string{"", "shop", "No/Such_Name", "ääää", strings.Repeat("-a", 60), "\xff\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := labelValue(text)
		if problems := validation.IsValidLabelValue(got); len(problems) != 0 {
			t.Errorf("labelValue(%q) = %q: %v", text, got, problems)
		}
		if len(validation.IsValidLabelValue(text)) == 0 && got != text {
			t.Errorf("valid %q became %q", text, got)
		}
		if short := cut(text, 63); len(short) > 63 || !strings.HasPrefix(text, short) || utf8.ValidString(text) && !utf8.ValidString(short) {
			t.Errorf("cut(%q) = %q", text, short)
		}
	})
}

func TestNamespaceOfObjects(t *testing.T) {
	for namespace, want := range map[string]string{
		"shop": "shop", "": "fallback", "Shop": "fallback", "a.b": "fallback", "a/b": "fallback", strings.Repeat("a", 63): strings.Repeat("a", 63), strings.Repeat("a", 64): "fallback",
	} {
		got, fallback := placement.Namespace(namespace)
		if got != want || fallback != (want == "fallback") {
			t.Errorf("namespace %q: %s, %t", namespace, got, fallback)
		}
	}
}

func TestFailureClasses(t *testing.T) {
	status := func(code int) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: int32(code), Message: "timeout"}}
	}
	dial := func(err error) error {
		return &url.Error{Op: "Post", URL: "u", Err: &net.OpError{Op: "dial", Err: err}}
	}
	for _, c := range []struct {
		err         error
		class, code string
		retry       bool
	}{
		{status(429), "rate_limited", "429", true},
		{status(503), "service_unavailable", "503", true},
		{status(504), "gateway_timeout", "504", true},
		{status(400), "bad_request", "400", false},
		{status(403), "forbidden", "403", false},
		{status(422), "unprocessable_entity", "422", false},
		{status(409), "conflict", "409", false},
		{status(401), "unknown", "401", false},
		{status(404), "unknown", "404", false},
		{status(500), "unknown", "500", false},
		{dial(syscall.ECONNREFUSED), "network_error", "0", true},
		{dial(syscall.ECONNRESET), "network_error", "0", true},
		{dial(syscall.EPIPE), "network_error", "0", true},
		{dial(io.ErrUnexpectedEOF), "network_error", "0", true},
		{dial(context.DeadlineExceeded), "timeout", "0", true},
		{errors.New("net/http: TLS handshake timeout"), "timeout", "0", true},
		{errors.New("x509: unknown authority"), "unknown", "0", false},
	} {
		err := fmt.Errorf("wrapped: %w", c.err)
		class, code := failureClass(err)
		if class != c.class || code != c.code || isRetryable(err) != c.retry {
			t.Errorf("%v: %s, %s, retryable %t", err, class, code, isRetryable(err))
		}
	}
}

// observed are the samples of what retries and creations have counted.
type observed map[string]float64

func observedIn(t *testing.T, m *metrics.Metrics) observed {
	t.Helper()
	return metricstest.Read(t, m, "gateway_retry_", "gateway_crd_creation_errors_total")
}

func TestRetry(t *testing.T) {
	tooMany := apierrors.NewTooManyRequestsError("later")
	forbidden := apierrors.NewForbidden(schema.GroupResource{}, "", nil)
	const (
		attempts       = `gateway_retry_attempts_total{error_type="rate_limited",status_code="429"}`
		exhausted      = `gateway_retry_exhausted_total{error_type="rate_limited",status_code="429"}`
		succeededThird = `gateway_retry_success_total{attempt="3",error_type="success"}`
		durations      = `gateway_retry_duration_seconds{error_type="rate_limited"}`
	)
	for _, c := range []struct {
		name   string
		errors []error
		calls  int
		want   observed
	}{
		{"at once", []error{nil}, 1, observed{}},
		{"third time", []error{tooMany, tooMany, nil}, 3, observed{attempts: 2, succeededThird: 1, durations: 1}},
		{"never", []error{tooMany, tooMany, tooMany}, 3, observed{attempts: 3, exhausted: 1, durations: 1}},
		{"for good", []error{forbidden}, 1, observed{}},
		{"for good later", []error{tooMany, forbidden}, 2, observed{attempts: 1, durations: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := metrics.New()
			calls := 0
			err := Retry{MaxAttempts: 3, InitialBackoff: time.Microsecond, MaxBackoff: time.Microsecond, Metrics: m}.Do(t.Context(), func(context.Context) error {
				calls++
				return c.errors[calls-1]
			})
			if calls != c.calls || err != c.errors[calls-1] {
				t.Errorf("%d calls, error %v", calls, err)
			}
			if diff := cmp.Diff(c.want, observedIn(t, m)); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRetryBackoffDoublesUpToItsCap(t *testing.T) {
	r := Retry{InitialBackoff: 100 * time.Millisecond, MaxBackoff: time.Second}
	for n, want := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 5: time.Second, 1000: time.Second} {
		if got := r.backoff(n); got != want {
			t.Errorf("after failure %d: %s, want %s", n, got, want)
		}
	}
}

func TestRetryEndsWithTheRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := Retry{MaxAttempts: 5, InitialBackoff: time.Hour, MaxBackoff: time.Hour, Metrics: metrics.New()}.Do(ctx, func(context.Context) error {
		calls++
		cancel()
		return apierrors.NewServiceUnavailable("down")
	})
	if calls != 1 || !apierrors.IsServiceUnavailable(err) {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

// apiserver is a Kubernetes API that has the namespaces shop and fallback.
type apiserver struct {
	client.Client
	// onCreate may answer in place of the API; done says that it did.
	onCreate func(ctx context.Context, w client.Client, object client.Object) (done bool, err error)
	// onList, if set, is called before each list with its selector.
	onList func(namespace, selector string)
	// onUpdate, if set, answers updates in place of the API.
	onUpdate func() error
}

func newAPI(t *testing.T, objects ...client.Object) *apiserver {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	a := &apiserver{}
	a.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.RemediationRequest{}).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.CreateOption) error {
			if a.onCreate != nil {
				if done, err := a.onCreate(ctx, w, object); done {
					return err
				}
			}
			if ns := object.GetNamespace(); ns != "shop" && ns != "fallback" {
				return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, ns)
			}
			return w.Create(ctx, object, o...)
		},
		Update: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.UpdateOption) error {
			if a.onUpdate != nil {
				return a.onUpdate()
			}
			return w.Update(ctx, object, o...)
		},
		List: func(ctx context.Context, w client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			if a.onList != nil {
				options := (&client.ListOptions{}).ApplyOptions(o)
				a.onList(options.Namespace, options.LabelSelector.String())
			}
			return w.List(ctx, list, o...)
		},
	}).Build()
	return a
}

func (a *apiserver) creator(m *metrics.Metrics) *Creator {
	c := NewCreator(a, placement, Retry{MaxAttempts: 3, InitialBackoff: time.Microsecond, MaxBackoff: time.Microsecond, Metrics: m}, m)
	c.now = func() time.Time { return received }
	return c
}

func existing(d Draft, namespace, phase string, seconds int64) *v1alpha1.RemediationRequest {
	object, err := build(d, received.Add(-time.Hour))
	if err != nil {
		panic(err)
	}
	object.Namespace, object.Name = namespace, Name(d.Signal.Fingerprint, received.Add(time.Duration(seconds)*time.Second))
	object.Status.OverallPhase = phase
	return object
}

func TestCreate(t *testing.T) {
	d := testDraft("shop")
	stranger := testDraft("shop")
	stranger.Signal.Fingerprint = d.Signal.Fingerprint[:12] + strings.Repeat("0", 52)
	for _, c := range []struct {
		name     string
		present  []client.Object
		want     int64 // seconds by which the name was advanced
		existing bool
	}{
		{"free name", nil, 0, false},
		{"taken in progress", []client.Object{existing(d, "shop", "", 0)}, 0, true},
		{"taken in unknown phase", []client.Object{existing(d, "shop", "completed", 0)}, 0, true},
		{"taken and completed", []client.Object{existing(d, "shop", "Completed", 0)}, 1, false},
		{"taken, failed and cancelled", []client.Object{existing(d, "shop", "Failed", 0), existing(d, "shop", "Cancelled", 1)}, 2, false},
		{"completed, the next in progress", []client.Object{existing(d, "shop", "Failed", 0), existing(d, "shop", "Processing", 1)}, 1, true},
		{"taken by a fingerprint that begins alike", []client.Object{existing(stranger, "shop", "", 0)}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := metrics.New()
			got, err := newAPI(t, c.present...).creator(m).Create(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			if want := Name(d.Signal.Fingerprint, received.Add(time.Duration(c.want)*time.Second)); got.Object.Name != want || got.Existing != c.existing || got.Object.Namespace != "shop" {
				t.Errorf("%s/%s, existing %t; want %s, %t", got.Object.Namespace, got.Object.Name, got.Existing, want, c.existing)
			}
			if failed := observedIn(t, m); len(failed) != 0 {
				t.Errorf("failures reported: %v", failed)
			}
		})
	}
}

func TestCreateFallsBack(t *testing.T) {
	for namespace, origin := range map[string]string{"": "", "gone": "gone", "No/Name": "No-Name"} {
		got, err := newAPI(t).creator(metrics.New()).Create(t.Context(), testDraft(namespace))
		if err != nil {
			t.Fatal(err)
		}
		labels := got.Object.Labels
		if got.Object.Namespace != "fallback" || labels[LabelOriginNamespace] != origin || labels[LabelClusterScoped] != "true" {
			t.Errorf("namespace %q: object in %s with %v", namespace, got.Object.Namespace, labels)
		}
	}
}

func TestCreateReportsWhyItFailed(t *testing.T) {
	for _, c := range []struct {
		name, class, namespace string
		placement              Placement
		onCreate               error
	}{
		{"refused", "k8s_api_error", "shop", placement, apierrors.NewForbidden(schema.GroupResource{}, "", nil)},
		{"fallback missing", "fallback_failed", "gone", Placement{Fallback: "lacking"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := metrics.New()
			a := newAPI(t)
			if c.onCreate != nil {
				a.onCreate = func(context.Context, client.Client, client.Object) (bool, error) { return true, c.onCreate }
			}
			creator := a.creator(m)
			creator.placement = c.placement
			_, err := creator.Create(t.Context(), testDraft(c.namespace))
			var api *APIError
			if !errors.As(err, &api) || !strings.HasPrefix(err.Error(), "Kubernetes API error") {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(observed{fmt.Sprintf("gateway_crd_creation_errors_total{error_type=%q}", c.class): 1}, observedIn(t, m)); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
		})
	}
}

// The first attempt happened though its answer was lost: the object that the
// second one finds is ours, and the signal is no duplicate.
func TestCreateRecognisesItsOwnObject(t *testing.T) {
	for _, lost := range []error{
		&url.Error{Op: "Post", URL: "u", Err: syscall.ECONNRESET},
		&apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusGatewayTimeout}},
	} {
		a := newAPI(t)
		var calls atomic.Int32
		a.onCreate = func(ctx context.Context, w client.Client, object client.Object) (bool, error) {
			if calls.Add(1) > 1 {
				return false, nil
			}
			if err := w.Create(ctx, object.DeepCopyObject().(client.Object)); err != nil {
				return true, err
			}
			return true, lost
		}
		got, err := a.creator(metrics.New()).Create(t.Context(), testDraft("shop"))
		if err != nil || got.Existing || got.Object.Name != testDraft("shop").Name {
			t.Errorf("%v: %+v, %v", lost, got, err)
		}
		var list v1alpha1.RemediationRequestList
		if err := a.List(t.Context(), &list); err != nil || len(list.Items) != 1 {
			t.Errorf("%v: %d objects, %v", lost, len(list.Items), err)
		}
	}
}

func TestFind(t *testing.T) {
	own := testDraft("shop")
	fallen := func(namespace, phase string, seconds int64) *v1alpha1.RemediationRequest {
		object := existing(testDraft(namespace), "fallback", phase, seconds)
		placement.moveToFallback(object, namespace)
		return object
	}
	stranger := existing(own, "shop", "", 3)
	stranger.Spec.SignalFingerprint = own.Signal.Fingerprint[:63] + "x"
	elsewhere := existing(own, "elsewhere", "", 4)
	a := newAPI(t, existing(own, "shop", "Completed", 0), existing(own, "shop", "Processing", 1), stranger, elsewhere, fallen("gone", "", 0), fallen("", "Failed", 0))
	for _, c := range []struct{ namespace, want string }{
		{"shop", "shop/1 shop/0"}, {"gone", "fallback/0"}, {"", "fallback/0"}, {"quiet", ""},
	} {
		found, err := NewStore(a, placement).Find(t.Context(), testSignal(c.namespace))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, object := range found {
			var seconds int64
			_, _ = fmt.Sscanf(object.Name[strings.LastIndexByte(object.Name, '-')+1:], "%d", &seconds)
			got = append(got, fmt.Sprintf("%s/%d", object.Namespace, seconds-received.Unix()))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("namespace %q: found %v, want %s", c.namespace, got, c.want)
		}
	}
}

func TestStoreErrorsKeepTheirMeaning(t *testing.T) {
	store := NewStore(newAPI(t, existing(testDraft("shop"), "shop", "", 0)), placement)
	if _, err := store.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "none"}); !apierrors.IsNotFound(err) {
		t.Errorf("get: %v", err)
	}
	name := types.NamespacedName{Namespace: "shop", Name: testDraft("shop").Name}
	first, err := store.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	second := first.DeepCopy()
	first.Spec.Deduplication.OccurrenceCount++
	if err := store.Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := store.Update(t.Context(), second); !apierrors.IsConflict(err) {
		t.Errorf("update of a stale object: %v", err)
	}
}

// Whoever looks at an object learns that there were more alerts than the sender sent.
func TestTruncatedIsAnnotated(t *testing.T) {
	for truncated, want := range map[int]string{0: "", 7: "7"} {
		object, err := build(Draft{Signal: &signal.Signal{Name: "A", Truncated: truncated}, Name: "n"}, time.Now())
		if err != nil || object.Annotations[AnnotationTruncated] != want {
			t.Errorf("%d left out: annotations %v, %v", truncated, object.Annotations, err)
		}
	}
}
