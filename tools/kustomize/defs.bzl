"""kustomization: the manifests of a kustomize overlay as one YAML file."""

def _kustomization_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".yaml")
    directory = ctx.file.kustomization.dirname
    args = ctx.actions.args()
    args.add(directory)
    args.add(out)
    ctx.actions.run(
        executable = ctx.executable._kustomize,
        arguments = [args],
        inputs = [ctx.file.kustomization] + ctx.files.srcs,
        outputs = [out],
        mnemonic = "Kustomize",
        progress_message = "Building manifests %{label}",
    )
    return [DefaultInfo(files = depset([out]))]

kustomization = rule(
    implementation = _kustomization_impl,
    doc = "Runs `kustomize build` on a folder. Output: `<name>.yaml`.",
    attrs = {
        "kustomization": attr.label(
            doc = "The overlay's kustomization.yaml.",
            allow_single_file = ["kustomization.yaml"],
            mandatory = True,
        ),
        "srcs": attr.label_list(
            doc = "Every file that it reaches: resources, patches, bases, generators' inputs. Default none.",
            allow_files = True,
        ),
        "_kustomize": attr.label(
            default = Label("//tools/kustomize"),
            executable = True,
            cfg = "exec",
        ),
    },
)
