// Package objectstest stands in for the API server's store of RemediationRequests in
// tests, with its conflicts.
package objectstest

import (
	"errors"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
)

// Resource is what errors of the API server name.
var Resource = schema.GroupResource{Resource: "remediationrequests"}

// Objects are all objects of a cluster. The caller locks them.
type Objects map[types.NamespacedName]*v1alpha1.RemediationRequest

// Get returns a copy of an object, or an error that satisfies apierrors.IsNotFound.
func (o Objects) Get(name types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	if object := o[name]; object != nil {
		return object.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(Resource, name.Name)
}

// Put stores a copy of the object, whatever is there, and sets the object's resource
// version: "1" for a new one, and the next number for each change.
func (o Objects) Put(object *v1alpha1.RemediationRequest) {
	name, version := nameOf(object), 0
	if current := o[name]; current != nil {
		version, _ = strconv.Atoi(current.ResourceVersion)
	}
	object.ResourceVersion = strconv.Itoa(version + 1)
	o[name] = object.DeepCopy()
}

// Update is Put for an object that has not changed since it was read. Otherwise the
// error satisfies apierrors.IsNotFound or apierrors.IsConflict.
func (o Objects) Update(object *v1alpha1.RemediationRequest) error {
	current, err := o.Get(nameOf(object))
	if err != nil {
		return err
	}
	if current.ResourceVersion != object.ResourceVersion {
		return apierrors.NewConflict(Resource, object.Name, errors.New("changed"))
	}
	o.Put(object)
	return nil
}

func nameOf(object *v1alpha1.RemediationRequest) types.NamespacedName {
	return types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
}
