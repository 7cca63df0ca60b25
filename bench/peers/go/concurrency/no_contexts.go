//go:build !go1.21

package main

// There is no context.AfterFunc: nothing is measured.
func contexts(a arguments, out report) {}
