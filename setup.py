"""What pyproject.toml can't say: a wheel carries `datasets` and `configs` inside of `seg`, where the command `lraspp` finds them.

At the top of site-packages the name `datasets` belongs to another well-known package.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["seg", "seg.*"]),
              *(f"seg.bundle.{name}" for name in find_packages(include=["datasets", "datasets.*"])), "seg.bundle.configs"],
    package_dir={"seg.bundle.datasets": "datasets", "seg.bundle.configs": "configs"},
)
