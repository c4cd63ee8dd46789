"""What EM-TDAMP is compared with; each module is one baseline."""
