package remediation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// pageSize bounds the memory that Page takes: an object has up to 1.5 MB, though
// few have more than 10 kB.
const pageSize = 200

// Store reads and updates the objects. It caches nothing: what it returns is
// what the API server holds.
type Store struct {
	client    client.Client
	placement Placement
	storms    sharedLists
}

// NewStore returns a store that uses the client.
func NewStore(c client.Client, p Placement) *Store {
	s := &Store{client: c, placement: p}
	s.storms.list = func(ctx context.Context, namespace string) ([]v1alpha1.RemediationRequest, error) {
		return s.labelled(ctx, namespace, LabelStorm, "true")
	}
	return s
}

// labelled returns the objects in a namespace whose label has the value.
func (s *Store) labelled(ctx context.Context, namespace, label, value string) ([]v1alpha1.RemediationRequest, error) {
	var list v1alpha1.RemediationRequestList
	if err := s.client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{label: value}); err != nil {
		return nil, &APIError{fmt.Sprintf("list RemediationRequests in %s", namespace), err}
	}
	return list.Items, nil
}

// Get returns one object. The error, an *APIError, satisfies apierrors.IsNotFound
// when there is none.
func (s *Store) Get(ctx context.Context, name types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	var object v1alpha1.RemediationRequest
	if err := s.client.Get(ctx, name, &object); err != nil {
		return nil, &APIError{"get RemediationRequest " + name.String(), err}
	}
	return &object, nil
}

// Find returns the objects that stand for the signal's incident: those in progress
// first, and the newer first of equals. It lists by label, storms included, in the
// signal's namespace and in the fallback namespace, never in the whole cluster.
// Errors are *APIError.
func (s *Store) Find(ctx context.Context, sig *signal.Signal) ([]v1alpha1.RemediationRequest, error) {
	target, fallback := s.placement.Namespace(sig.Namespace)
	namespaces := []string{target}
	if !fallback && target != s.placement.Fallback {
		namespaces = append(namespaces, s.placement.Fallback)
	}
	lists := make([][]v1alpha1.RemediationRequest, 2*len(namespaces))
	group, ctx := errgroup.WithContext(ctx)
	for i, namespace := range namespaces {
		group.Go(func() (err error) {
			lists[2*i], err = s.labelled(ctx, namespace, LabelFingerprint, FingerprintLabel(sig.Fingerprint))
			return err
		})
		group.Go(func() (err error) {
			lists[2*i+1], err = s.storms.in(ctx, namespace)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var found []v1alpha1.RemediationRequest
	have := make(map[types.NamespacedName]bool)
	for i := range lists {
		for j := range lists[i] {
			object := &lists[i][j]
			name := client.ObjectKeyFromObject(object)
			// The label holds only the beginning of the fingerprint.
			if !have[name] && s.placement.belongs(object, sig.Namespace) && object.StandsFor(sig.Fingerprint) {
				have[name] = true
				found = append(found, *object.DeepCopy()) // others have the storm's, too
			}
		}
	}
	slices.SortFunc(found, func(a, b v1alpha1.RemediationRequest) int {
		if a.InProgress() != b.InProgress() {
			if a.InProgress() {
				return -1
			}
			return 1
		}
		if c := b.CreationTimestamp.Compare(a.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name)
	})
	return found, nil
}

// Page returns some of all objects in the cluster, and the token of the next page.
// The empty token begins and ends. All pages show one moment; if that is too long
// ago, the error, an *APIError, satisfies apierrors.IsResourceExpired.
func (s *Store) Page(ctx context.Context, token string) ([]v1alpha1.RemediationRequest, string, error) {
	var list v1alpha1.RemediationRequestList
	if err := s.client.List(ctx, &list, client.Limit(pageSize), client.Continue(token)); err != nil {
		return nil, "", &APIError{"list all RemediationRequests", err}
	}
	return list.Items, list.Continue, nil
}

// Place returns a signal's namespace as its objects show it, which is a valid label
// value. It is the namespace itself if that is a valid name.
func (s *Store) Place(namespace string) string { return labelValue(namespace) }

// PlaceOf returns the place of the signals that the object stands for, or false if
// it is not where the gateway would have put it.
func (s *Store) PlaceOf(object *v1alpha1.RemediationRequest) (place string, ok bool) {
	return s.placement.origin(object)
}

// Update replaces the object, status excepted. The error, an *APIError, satisfies
// apierrors.IsConflict when the object has changed since it was read.
func (s *Store) Update(ctx context.Context, object *v1alpha1.RemediationRequest) error {
	if err := s.client.Update(ctx, object); err != nil {
		return &APIError{"update RemediationRequest " + client.ObjectKeyFromObject(object).String(), err}
	}
	return nil
}
