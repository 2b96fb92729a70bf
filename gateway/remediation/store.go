package remediation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/shared"
	"stormgate.internal/gateway/signal"
)

// pageSize bounds the memory that Page takes: an object has up to 1.5 MB, though
// few have more than 10 kB.
const pageSize = 200

// maxFinding is how many searches list objects at once. After a failure of Redis,
// thousands of signals may have to look for theirs. Each request that is under way takes
// memory here, and more of them at once do not end sooner.
const maxFinding = 32

// maxUpdating is how many objects are updated at once, as maxCreating is of those that are
// created: thousands of alerts that repeat each have an object of their own to be counted on.
// Together they are fewer than the API server works on.
const maxUpdating = 64

// Store reads and updates the objects. It caches nothing: what it returns is
// what the API server holds.
type Store struct {
	client    client.Client
	placement Placement
	// storms lists the storms' objects of a namespace. An object of a storm may have 1.5 MB,
	// and each of thousands of signals that come at once may have to look for its own among
	// them: a list for each would take more memory than there is.
	storms *shared.Calls[string, []v1alpha1.RemediationRequest]
	room   *semaphore.Weighted
	// updating is the room for updates. Searches are not to wait for these, nor they for searches.
	updating *semaphore.Weighted
}

// NewStore returns a store that uses the client.
func NewStore(c client.Client, p Placement) *Store {
	s := &Store{client: c, placement: p, room: semaphore.NewWeighted(maxFinding), updating: semaphore.NewWeighted(maxUpdating)}
	s.storms = shared.NewCalls(func(ctx context.Context, namespace string) ([]v1alpha1.RemediationRequest, error) {
		return s.labelled(ctx, namespace, LabelStorm, "true") // the client limits the time
	})
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
// signal's namespace and in the fallback namespace, never in the whole cluster. What it
// returns is shared with other callers: it must not be modified. Errors are *APIError, or
// the context's.
func (s *Store) Find(ctx context.Context, sig *signal.Signal) ([]v1alpha1.RemediationRequest, error) {
	target, fallback := s.placement.Namespace(sig.Namespace)
	namespaces := []string{target}
	if !fallback && target != s.placement.Fallback {
		namespaces = append(namespaces, s.placement.Fallback)
	}
	var lists [][]v1alpha1.RemediationRequest
	// Those who look at the same time share a list. Behind the room, where few come at a
	// time, each few would have one.
	for _, namespace := range namespaces {
		list, err := s.storms.Do(ctx, namespace)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	own, err := s.ofFingerprint(ctx, namespaces, FingerprintLabel(sig.Fingerprint))
	if err != nil {
		return nil, err
	}
	lists = append(lists, own...)
	var found []v1alpha1.RemediationRequest
	have := make(map[types.NamespacedName]bool)
	for i := range lists {
		for j := range lists[i] {
			object := &lists[i][j]
			name := client.ObjectKeyFromObject(object)
			// The label holds only the beginning of the fingerprint.
			if !have[name] && s.placement.belongs(object, sig.Namespace) && object.StandsFor(sig.Fingerprint) {
				have[name] = true
				found = append(found, *object)
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

// ofFingerprint returns the objects in each of the namespaces whose label begins the
// fingerprint, when there is room to list them.
func (s *Store) ofFingerprint(ctx context.Context, namespaces []string, label string) ([][]v1alpha1.RemediationRequest, error) {
	if err := s.room.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.room.Release(1)
	lists := make([][]v1alpha1.RemediationRequest, len(namespaces))
	group, ctx := errgroup.WithContext(ctx)
	for i, namespace := range namespaces {
		group.Go(func() (err error) {
			lists[i], err = s.labelled(ctx, namespace, LabelFingerprint, label)
			return err
		})
	}
	return lists, group.Wait()
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

// Update replaces the object, status excepted, when there is room. The error, an *APIError,
// satisfies apierrors.IsConflict when the object has changed since it was read. It is the
// context's if that ends before there is room.
func (s *Store) Update(ctx context.Context, object *v1alpha1.RemediationRequest) error {
	if err := s.updating.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.updating.Release(1)
	if err := s.client.Update(ctx, object); err != nil {
		return &APIError{"update RemediationRequest " + client.ObjectKeyFromObject(object).String(), err}
	}
	return nil
}
