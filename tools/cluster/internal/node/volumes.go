package node

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"
)

// ownedPlugin is a volume plugin that gives files to no id that does not exist.
//
// The kubelet hands the files of a volume to the pod's runAsUser and fsGroup. In
// a user namespace with a single id, which every cluster has, there is no such
// id: chown fails, and the pod would wait for its service account's token for
// ever. Its containers run as the one id that there is (see package process), so
// leaving the files with it is right.
type ownedPlugin struct {
	volume.VolumePlugin
	user, group func(id int64) bool
}

func (p *ownedPlugin) NewMounter(spec *volume.Spec, pod *v1.Pod) (volume.Mounter, error) {
	mounter, err := p.VolumePlugin.NewMounter(spec, pod)
	if err != nil {
		return nil, err
	}
	return &ownedMounter{Mounter: mounter, plugin: p}, nil
}

type ownedMounter struct {
	volume.Mounter
	plugin *ownedPlugin
}

func (m *ownedMounter) SetUp(args volume.MounterArgs) error {
	return m.Mounter.SetUp(m.plugin.existing(args))
}

func (m *ownedMounter) SetUpAt(dir string, args volume.MounterArgs) error {
	return m.Mounter.SetUpAt(dir, m.plugin.existing(args))
}

// existing drops the owners that do not exist.
func (p *ownedPlugin) existing(args volume.MounterArgs) volume.MounterArgs {
	if args.FsUser != nil && !p.user(*args.FsUser) {
		args.FsUser = nil
	}
	if args.FsGroup != nil && !p.group(*args.FsGroup) {
		args.FsGroup = nil
	}
	return args
}
