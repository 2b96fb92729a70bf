"""The provider of @package_metadata, without content."""

PackageMetadataInfo = provider(doc = "Metadata of a package; never filled here.", fields = {})
