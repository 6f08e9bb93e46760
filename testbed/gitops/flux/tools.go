//go:build tools

// Package flux pins Flux's kustomize-controller, which the testbed builds for the tests of GitOps.
package flux

import (
	_ "github.com/fluxcd/kustomize-controller"
)
