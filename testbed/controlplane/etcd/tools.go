//go:build tools

// Package etcd pins the etcd that the testbed builds, in a module of its own:
// together with Kubernetes, the newest version of every shared dependency would win.
package etcd

import (
	_ "go.etcd.io/etcd/server/v3"
)
