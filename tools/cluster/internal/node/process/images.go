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

// ListImages returns the images of the table and of all its scopes.
func (r *Runtime) ListImages(_ context.Context, filter *rt.ImageFilter) ([]*rt.Image, error) {
	wanted := filter.GetImage().GetImage()
	var list []*rt.Image
	for _, i := range r.options.Images.All() {
		if wanted == "" || api.NormalizeReference(wanted) == api.NormalizeReference(i.Reference) {
			list = append(list, criImage(i))
		}
	}
	return list, nil
}

// ownUser stands, as a user's name, for the user that the image has which the
// container's namespace will find. No user of an image is named: names are refused.
const ownUser = "(the image's own)"

// ImageStatus answers without an image, not with an error, for an unknown
// reference: the kubelet then asks for a pull.
//
// The kubelet doesn't say for which namespace it asks. A reference that is known in
// any is therefore present: what it means is CreateContainer's affair. Of a reference
// that means several images the answer says what they have in common, and no more.
func (r *Runtime) ImageStatus(_ context.Context, spec *rt.ImageSpec, _ bool) (*rt.ImageStatusResponse, error) {
	found := r.options.Images.Find(spec.GetImage())
	if len(found) == 0 {
		return &rt.ImageStatusResponse{}, nil
	}
	image := criImage(found[0])
	for _, i := range found[1:] {
		other := criImage(i)
		image.Id = image.GetSpec().GetImage()
		if image.GetUid().GetValue() != other.GetUid().GetValue() {
			image.Uid, image.Username = nil, ownUser
		}
	}
	return &rt.ImageStatusResponse{Image: image}, nil
}

// PullImage pulls nothing: it returns the id of the image that the pod's namespace
// knows, and for any other reference an error that lists those that it knows.
func (r *Runtime) PullImage(_ context.Context, spec *rt.ImageSpec, _ *rt.AuthConfig, sandbox *rt.PodSandboxConfig) (string, error) {
	i, err := r.options.Images.ResolveIn(sandbox.GetMetadata().GetNamespace(), spec.GetImage())
	if err != nil {
		return "", status.Error(codes.NotFound, err.Error())
	}
	return i.ID(), nil
}

// RemoveImage refuses: images are the cluster's configuration. They are
// reported as pinned, so that the kubelet does not ask.
func (r *Runtime) RemoveImage(_ context.Context, spec *rt.ImageSpec) error {
	if len(r.options.Images.Find(spec.GetImage())) == 0 {
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
	reference := api.NormalizeReference(i.Reference)
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
		Id: i.ID(), RepoTags: []string{reference}, Size: size, Uid: &rt.Int64Value{Value: uid},
		Spec: &rt.ImageSpec{Image: reference}, Pinned: true,
	}
}
