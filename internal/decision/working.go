package decision

import "time"

// Working is how the count came about, in the order of the policy's rules.
type Working struct {
	// Demand is clients connected and waiting; Messages the rate they cause.
	Demand   float64 `json:"demand"`
	Messages float64 `json:"messages"`
	// Capacity is what a client is believed to cost.
	Capacity Model `json:"capacity"`
	// Forecast is the demand expected when a pod asked for now can serve; Slope is clients a second, of which the part Trust,
	// 0 to 1, is believed.
	Forecast float64       `json:"forecast"`
	Slope    float64       `json:"slope"`
	Trust    float64       `json:"trust"`
	Lead     time.Duration `json:"leadNanos"`
	// LeadMeasured says that the pods' own start times are in the lead time, not the policy's.
	LeadMeasured bool `json:"leadMeasured,omitempty"`
	// Margin is the factor on the forecast; MarginWatched is how much of watching forecasts come true it rests on.
	Margin        float64       `json:"margin"`
	MarginWatched time.Duration `json:"marginWatchedNanos,omitempty"`
	// ConnectionsPerPod and MessagesPerPod are the capacity the count used, as clients and messages that one pod at its ceiling
	// carries in the mix of the moment; 0 is unknown.
	ConnectionsPerPod float64 `json:"connectionsPerPod"`
	MessagesPerPod    float64 `json:"messagesPerPod"`
	// Wants are the replica counts each dimension asks for.
	WantConnections float64 `json:"wantConnections"`
	WantMessages    float64 `json:"wantMessages"`
	WantCPU         float64 `json:"wantCpu"`
	WantMemory      float64 `json:"wantMemory"`
	// Want is the whole count before limits.
	Want int `json:"want"`
	// StormUntil is when the storm guard lets go; zero without a storm.
	StormUntil time.Time `json:"stormUntil,omitzero"`
	// Regret is how far earlier scale-ins were soon taken back, 0 to 1: the more, the longer quiet must last.
	Regret float64 `json:"regret,omitempty"`
}

// Cost is what a pod spends on its load in one dimension, as fractions of its limit.
type Cost struct {
	// Base is what it spends without clients.
	Base float64 `json:"base"`
	// PerClient is for each connected client, PerMessage for each message a second, PerHandshake for each handshake a second.
	PerClient    float64 `json:"perClient"`
	PerMessage   float64 `json:"perMessage"`
	PerHandshake float64 `json:"perHandshake"`
}

// Of is what a pod with this load is believed to use.
func (c Cost) Of(clients, messages, handshakes float64) float64 {
	return c.Base + c.PerClient*clients + c.PerMessage*messages + c.PerHandshake*handshakes
}

// Model is what capacity is believed to be. A dimension that is not learned holds the prior: what was declared, or a guess.
type Model struct {
	CPU           Cost `json:"cpu"`
	Memory        Cost `json:"memory"`
	LearnedCPU    bool `json:"learnedCpu"`
	LearnedMemory bool `json:"learnedMemory"`
}
