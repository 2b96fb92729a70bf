package process

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
)

// ListImages returns the images of the table.
func (r *Runtime) ListImages(_ context.Context, filter *rt.ImageFilter) ([]*rt.Image, error) {
	wanted := filter.GetImage().GetImage()
	var list []*rt.Image
	for _, i := range r.options.Images.List() {
		if wanted == "" || api.NormalizeReference(wanted) == api.NormalizeReference(i.Reference) {
			list = append(list, criImage(i))
		}
	}
	return list, nil
}

// ImageStatus answers without an image, not with an error, for an unknown
// reference: the kubelet then asks for a pull.
func (r *Runtime) ImageStatus(_ context.Context, spec *rt.ImageSpec, _ bool) (*rt.ImageStatusResponse, error) {
	i, found := r.options.Images.Lookup(spec.GetImage())
	if !found {
		return &rt.ImageStatusResponse{}, nil
	}
	return &rt.ImageStatusResponse{Image: criImage(i)}, nil
}

// PullImage pulls nothing: it returns the id of a known image, and for any
// other reference an error that lists the known ones.
func (r *Runtime) PullImage(_ context.Context, spec *rt.ImageSpec, _ *rt.AuthConfig, _ *rt.PodSandboxConfig) (string, error) {
	i, err := r.options.Images.Resolve(spec.GetImage())
	if err != nil {
		return "", status.Error(codes.NotFound, err.Error())
	}
	return api.NormalizeReference(i.Reference), nil
}

// RemoveImage refuses: images are the cluster's configuration. They are
// reported as pinned, so that the kubelet does not ask.
func (r *Runtime) RemoveImage(_ context.Context, spec *rt.ImageSpec) error {
	if _, found := r.options.Images.Lookup(spec.GetImage()); !found {
		return nil
	}
	return status.Errorf(codes.FailedPrecondition, "image %q belongs to the cluster's configuration and cannot be removed", spec.GetImage())
}

// ImageFsInfo reports the file system of the runtime's root for containers.
// Images take no room of their own.
func (r *Runtime) ImageFsInfo(context.Context) (*rt.ImageFsInfoResponse, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(r.options.Root, &fs); err != nil {
		return nil, status.Errorf(codes.Internal, "examine file system of %s: %v", r.options.Root, err)
	}
	usage := func(bytes, inodes uint64) []*rt.FilesystemUsage {
		return []*rt.FilesystemUsage{{
			Timestamp: time.Now().UnixNano(), FsId: &rt.FilesystemIdentifier{Mountpoint: r.options.Root},
			UsedBytes: &rt.UInt64Value{Value: bytes}, InodesUsed: &rt.UInt64Value{Value: inodes},
		}}
	}
	return &rt.ImageFsInfoResponse{
		ImageFilesystems:     usage(0, 0),
		ContainerFilesystems: usage((fs.Blocks-fs.Bfree)*uint64(fs.Bsize), fs.Files-fs.Ffree),
	}, nil
}

// criImage describes an image; its size is that of its files, without its
// directories.
func criImage(i api.Image) *rt.Image {
	id := api.NormalizeReference(i.Reference)
	uid, _, err := i.UserIDs()
	if err != nil { // the table takes no such image
		uid = 0
	}
	var size uint64
	for _, path := range i.Files {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			size += uint64(info.Size())
		}
	}
	return &rt.Image{
		Id: id, RepoTags: []string{id}, Size: size, Uid: &rt.Int64Value{Value: uid},
		Spec: &rt.ImageSpec{Image: id}, Pinned: true,
	}
}
