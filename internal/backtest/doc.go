// Package backtest runs policies against traces in a simulated fleet, side by side.
package backtest
