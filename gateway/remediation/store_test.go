package remediation

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/signal"
)

// storm makes the object of a storm which the resource is a member of, under
// another member's fingerprint.
func storm(namespace string, resource signal.Resource, alertname string, seconds int64) *v1alpha1.RemediationRequest {
	filler := signal.Resource{Namespace: resource.Namespace, Kind: "Pod", Name: "filler"}
	d := testDraft(resource.Namespace)
	d.Signal.Name = alertname
	d.Signal.Fingerprint = signal.Fingerprint(alertname, filler.Namespace, filler.Kind, filler.Name)
	object := existing(d, namespace, "", seconds)
	object.Labels[LabelStorm] = "true"
	object.Spec.IsStorm = true
	object.Spec.AffectedResources = []string{filler.ID(), resource.ID()}
	return object
}

// A member of a storm has no object with its own fingerprint as a label.
func TestFindSeesStorms(t *testing.T) {
	for namespace, at := range map[string]string{"shop": "shop", "gone": "fallback", "": "fallback"} {
		member := testSignal(namespace)
		member.Resource.Namespace = namespace
		member.Fingerprint = signal.Fingerprint(member.Name, namespace, member.Resource.Kind, member.Resource.Name)
		its := storm(at, member.Resource, member.Name, 0)
		others := []client.Object{storm(at, member.Resource, "Other", 1), storm("elsewhere", member.Resource, member.Name, 2)}
		for _, object := range append(others, its) {
			if object.GetNamespace() == "fallback" {
				placement.moveToFallback(object.(*v1alpha1.RemediationRequest), namespace)
			}
		}
		found, err := NewStore(newAPI(t, append(others, its)...), placement).Find(t.Context(), member)
		if err != nil || len(found) != 1 || found[0].Name != its.Name || found[0].Namespace != at {
			t.Errorf("namespace %q: found %+v, %v", namespace, found, err)
		}
	}
}

// An object whose labels match both ways is found once.
func TestFindReturnsNothingTwice(t *testing.T) {
	d := testDraft("shop")
	object := existing(d, "shop", "", 0)
	object.Labels[LabelStorm] = "true"
	found, err := NewStore(newAPI(t, object), placement).Find(t.Context(), d.Signal)
	if err != nil || len(found) != 1 {
		t.Errorf("found %d, %v", len(found), err)
	}
}

func TestPlaces(t *testing.T) {
	store := NewStore(nil, placement)
	labelled := func(namespace string, labels map[string]string) *v1alpha1.RemediationRequest {
		return &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Labels: labels}}
	}
	fallen := func(origin string) *v1alpha1.RemediationRequest {
		object := labelled("", map[string]string{})
		placement.moveToFallback(object, origin)
		return object
	}
	for name, test := range map[string]struct {
		namespace string // of a signal
		object    *v1alpha1.RemediationRequest
		place     string
	}{
		"namespace":                  {"shop", labelled("shop", nil), "shop"},
		"fallback namespace itself":  {"fallback", labelled("fallback", nil), "fallback"},
		"missing namespace":          {"gone", fallen("gone"), "gone"},
		"no namespace":               {"", fallen(""), ""},
		"not a name":                 {"No/Name", fallen("No/Name"), "No-Name"},
		"not a name, and very short": {"/", fallen("/"), ""},
	} {
		place, ok := store.PlaceOf(test.object)
		if got := store.Place(test.namespace); got != test.place || place != test.place || !ok {
			t.Errorf("%s: signal's place %q, object's %q %t, want %q", name, got, place, ok, test.place)
		}
		if !placement.belongs(test.object, test.namespace) {
			t.Errorf("%s: the object does not belong to the signal", name)
		}
	}
	for name, object := range map[string]*v1alpha1.RemediationRequest{
		"moved elsewhere": labelled("shop", map[string]string{LabelClusterScoped: "true", LabelOriginNamespace: "gone"}),
		"without origin":  labelled("fallback", map[string]string{LabelClusterScoped: "true"}),
	} {
		if place, ok := store.PlaceOf(object); ok {
			t.Errorf("%s: place %q", name, place)
		}
	}
}

func TestPageShowsTheWholeCluster(t *testing.T) {
	d := testDraft("shop")
	store := NewStore(newAPI(t, existing(d, "shop", "", 0), existing(d, "shop", "Failed", 1), existing(d, "fallback", "", 2)), placement)
	var names []string
	for token := ""; ; {
		page, next, err := store.Page(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range page {
			names = append(names, object.Namespace+"/"+object.Name[len(object.Name)-1:])
		}
		if token = next; token == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"fallback/2", "shop/0", "shop/1"}, names); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// A namespace that is being deleted takes nothing in, and what is in it goes with
// it: to a new incident it is as good as gone.
func TestCreateFallsBackFromATerminatingNamespace(t *testing.T) {
	terminating := apierrors.NewForbidden(schema.GroupResource{Resource: "remediationrequests"}, "n", nil)
	terminating.ErrStatus.Details.Causes = append(terminating.ErrStatus.Details.Causes, metav1.StatusCause{Type: corev1.NamespaceTerminatingCause, Field: "metadata.namespace"})
	for name, refused := range map[string]error{
		"forbidden": terminating,
		"conflict": &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: 409, Reason: metav1.StatusReasonConflict, Details: terminating.ErrStatus.Details,
		}},
	} {
		m := metrics.New()
		a := newAPI(t)
		a.onCreate = func(_ context.Context, _ client.Client, object client.Object) (bool, error) {
			return object.GetNamespace() == "shop", refused
		}
		got, err := a.creator(m).Create(t.Context(), testDraft("shop"))
		if err != nil || got.Object.Namespace != "fallback" || got.Object.Labels[LabelOriginNamespace] != "shop" || len(observedIn(t, m)) != 0 {
			t.Errorf("%s: %+v, %v, failures %v", name, got.Object, err, observedIn(t, m))
			continue
		}
		// The next signal finds it there.
		found, err := NewStore(a, placement).Find(t.Context(), testDraft("shop").Signal)
		if err != nil || len(found) != 1 {
			t.Errorf("%s: found %d, %v", name, len(found), err)
		}
	}
}
