# Answers pip's questions about a source package with a name and a version, so that pip can download it without
# installing or running the package's own build system (which would fetch four unpinned wheels first).
import os


def _name_and_version():
    # pip unpacks NAME-VERSION.tar.gz and calls the backend inside; PKG-INFO is part of every source package.
    fields = {}
    with open("PKG-INFO", encoding="utf-8") as lines:
        for line in lines:
            key, separator, value = line.partition(": ")
            if not separator:
                break
            fields.setdefault(key, value.strip())
    return fields["Name"], fields["Version"]


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name, version = _name_and_version()
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    os.makedirs(os.path.join(metadata_directory, folder))
    with open(os.path.join(metadata_directory, folder, "METADATA"), "w", encoding="utf-8") as out:
        out.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder
