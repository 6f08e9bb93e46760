//go:build tools

// Package controlplane pins the programs that the testbed builds when it finds
// no ready ones: the import lines keep their modules in go.mod and go.sum.
package controlplane

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
