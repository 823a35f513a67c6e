// Package imports holds the test of the house's import rules: each ban is named with its reason.
package imports
