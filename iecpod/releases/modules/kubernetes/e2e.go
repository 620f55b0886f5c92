//go:build never

// What `iecpod conformance` runs is compiled from this module, too: its sums are in go.sum for that.
package main

import (
	_ "k8s.io/kubernetes/test/e2e"
	_ "k8s.io/kubernetes/test/images/agnhost"
)
