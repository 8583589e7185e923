"""People in the loop: measurements, decisions, and the folder both arrive in."""
