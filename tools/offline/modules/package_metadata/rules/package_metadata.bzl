"""package_metadata as a target that carries nothing: licences are not evaluated here."""

load("//providers:package_metadata_info.bzl", "PackageMetadataInfo")

def _package_metadata_impl(_ctx):
    return [PackageMetadataInfo()]

_package_metadata = rule(
    implementation = _package_metadata_impl,
    attrs = {
        "attributes": attr.label_list(),
        "purl": attr.string(),
    },
)

def package_metadata(name, **kwargs):
    """A target for a package's default_package_metadata.

    Args:
      name: target name.
      **kwargs: purl, attributes and common attributes.
    """

    # The package's default is this target itself: without the empty list it
    # would depend on itself.
    _package_metadata(name = name, applicable_licenses = [], **kwargs)
