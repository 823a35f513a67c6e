// Package score says how good a policy was on a trace: how many clients fared badly, what the pods cost, and how much was
// moved about.
package score

// Score is how one row fared in one run. A client-second is one client that wants to be connected, for one second.
type Score struct {
	// ClientSeconds are all that clients wanted.
	ClientSeconds float64 `json:"clientSeconds"`
	// Bad is the part of ClientSeconds on a node over 0.90 CPU, 500 ms p95 or 0.92 memory, or refused and waiting. Hot, Slow,
	// Full and Waiting are its parts by cause; one client-second counts once, for the first cause of these.
	Bad     float64 `json:"bad"`
	Waiting float64 `json:"waiting"`
	Hot     float64 `json:"hot"`
	Slow    float64 `json:"slow"`
	Full    float64 `json:"full"`
	// PodSeconds count pods from their creation until they are gone; Pods is that over the oracle's.
	PodSeconds       float64 `json:"podSeconds"`
	OraclePodSeconds float64 `json:"oraclePodSeconds"`
	Pods             float64 `json:"pods"`
	// Cut clients were closed before they had moved; Moved are all that had to change their node, the cut ones among them.
	Cut   float64 `json:"cut"`
	Moved float64 `json:"moved"`
	// Reversals are changes of direction of the count that is asked for; ReversalsPerDay is what a day has of them.
	Reversals       int     `json:"reversals"`
	ReversalsPerDay float64 `json:"reversalsPerDay"`
	// PeakTarget is the largest count that was asked for, PeakNeed the largest of the oracle.
	PeakTarget int `json:"peakTarget"`
	PeakNeed   int `json:"peakNeed"`
	// Seconds is how long the run lasted.
	Seconds int `json:"seconds"`
}
