package ginkgo

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"stormgate.internal/tools/internal/ground"
)

// adoptGround makes what has been registered answer for Attest, beside the suite's own,
// and for Exclusive, unless the suite has its own. So a TestMain that only leases an
// environment can't forget them, and none can replace what the fixture says.
func (r *run) adoptGround() {
	grounds := ground.All()
	if len(grounds) == 0 {
		return
	}
	if !r.grounded {
		r.grounded = true
		own := r.options.Attest
		r.options.Attest = func(ctx context.Context) (properties map[string]string, err error) {
			properties = map[string]string{}
			if own != nil {
				of, ownErr := own(ctx)
				maps.Copy(properties, of)
				err = ownErr
			}
			of, groundErr := attestAll(ctx, ground.All())
			maps.Copy(properties, of)
			return properties, errors.Join(groundErr, err)
		}
	}
	lends := func(g *ground.Ground) bool { return g.Exclusive != nil }
	if r.options.Exclusive == nil && !slices.ContainsFunc(grounds, func(g *ground.Ground) bool { return !lends(g) }) {
		r.options.Exclusive = func(ctx context.Context) (func(context.Context) error, error) { return takeAll(ctx, grounds) }
	}
}

// attestAll joins the properties and errors of all grounds.
func attestAll(ctx context.Context, grounds []*ground.Ground) (map[string]string, error) {
	properties := map[string]string{}
	var errs []error
	for _, g := range grounds {
		of, err := g.Attest(ctx)
		errs = append(errs, err)
		if len(grounds) == 1 {
			maps.Copy(properties, of)
			continue
		}
		for name, value := range of {
			properties[g.Name+" "+name] = value
		}
	}
	return properties, errors.Join(errs...)
}

// takeAll takes all grounds exclusively, in the order of their names, so that two shards
// that take the same ones don't wait for each other.
func takeAll(ctx context.Context, grounds []*ground.Ground) (share func(context.Context) error, err error) {
	var shares []func(context.Context) error
	share = func(ctx context.Context) error {
		var errs []error
		for _, one := range slices.Backward(shares) {
			errs = append(errs, one(ctx))
		}
		return errors.Join(errs...)
	}
	for _, g := range slices.SortedStableFunc(slices.Values(grounds), func(a, b *ground.Ground) int { return cmp.Compare(a.Name, b.Name) }) {
		one, err := g.Exclusive(ctx)
		if err != nil {
			return nil, errors.Join(err, share(ctx))
		}
		if one != nil {
			shares = append(shares, one)
		}
	}
	return share, nil
}
