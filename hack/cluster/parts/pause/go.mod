module github.com/tidegate/tidegate/hack/cluster/parts/pause

go 1.26.0
