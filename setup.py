"""The project: its name, its version, the Pythons that it supports and the packages that its own code needs."""

from setuptools import find_packages, setup

setup(
    name="mlops-template",
    version="0.1.0",
    description="Two use cases on real data, from the first push to production.",
    python_requires=">=3.11",
    package_dir={"": "src"},
    packages=find_packages("src"),
    # The machinery is the wheel, or the folder, that vendor/machinery.txt names; no index has it. `make lock` after a change.
    install_requires=["mlops-machinery"],
    extras_require={"dev": ["mlops-machinery[tune,server,serve,tracing,release,sign,onnx,notebooks,lint,test,docs]"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
)
