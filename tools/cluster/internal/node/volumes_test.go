package node

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"
)

type recordingPlugin struct {
	volume.VolumePlugin
	args volume.MounterArgs
}

func (p *recordingPlugin) NewMounter(*volume.Spec, *v1.Pod) (volume.Mounter, error) {
	return &recordingMounter{plugin: p}, nil
}

type recordingMounter struct {
	volume.Mounter
	plugin *recordingPlugin
}

func (m *recordingMounter) SetUp(args volume.MounterArgs) error {
	m.plugin.args = args
	return nil
}

func (m *recordingMounter) SetUpAt(_ string, args volume.MounterArgs) error { return m.SetUp(args) }

// Promise: a pod with runAsUser or fsGroup gets its volumes also where these ids
// do not exist; where they do, they own them.
func TestVolumesAreGivenOnlyToIDsThatExist(t *testing.T) {
	exists := func(id int64) bool { return id == 1000 }
	for name, test := range map[string]struct{ id, want *int64 }{
		"exists":         {new(int64(1000)), new(int64(1000))},
		"does not exist": {new(int64(65532)), nil},
		"none":           {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := &recordingPlugin{}
			plugin := &ownedPlugin{VolumePlugin: recorder, user: exists, group: exists}
			mounter, err := plugin.NewMounter(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			for how, setUp := range map[string]func(volume.MounterArgs) error{
				"SetUp":   mounter.SetUp,
				"SetUpAt": func(args volume.MounterArgs) error { return mounter.SetUpAt("", args) },
			} {
				if err := setUp(volume.MounterArgs{FsUser: test.id, FsGroup: test.id}); err != nil {
					t.Fatal(err)
				}
				if !same(recorder.args.FsUser, test.want) || !same(recorder.args.FsGroup, test.want) {
					t.Errorf("%s: user %v and group %v, want %v", how, recorder.args.FsUser, recorder.args.FsGroup, test.want)
				}
			}
		})
	}
}

func same(a, b *int64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
