"""Manifests of models as people have them: InferenceServices and Knative Services, read, and rendered for here.

`table` and the `fields` modules say what becomes of every field; `read` makes `model`'s neutral applications of a file;
`render` writes Deployments of them and `local` a configuration file; `advice` says what will hurt.
"""
