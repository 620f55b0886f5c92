module iecpod.akraino.org/modules/pause

go 1.15
